"""What people get: runs as lines and tables, files, and the streams that they go to."""
