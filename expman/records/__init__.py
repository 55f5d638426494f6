"""Names, writes and reads the files of experiments' and sweeps' folders."""
