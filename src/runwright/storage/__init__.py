"""What is written and read: files that are whole or not there, arrays, what a training keeps."""
