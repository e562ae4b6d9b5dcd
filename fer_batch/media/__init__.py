"""Reading pictures: kinds by content, images, videos. Everything that knows a file format is here."""
