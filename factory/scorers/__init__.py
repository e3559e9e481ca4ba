"""Small models that score texts, asked in batches."""
