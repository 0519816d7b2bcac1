"""Analysis of many images: finding the files, and a row for each."""
