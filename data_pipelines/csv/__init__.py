"""CSV files: time series and tables."""
