"""The web page: runs in a browser, and the same over REST."""
