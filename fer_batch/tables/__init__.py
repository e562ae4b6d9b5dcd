"""The output folder: file names, schemas, Parquet parts, the ledger, the lock."""
