"""Out-of-distribution detection, from a request to stored figures."""
