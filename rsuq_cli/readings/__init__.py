"""What evidence says: certificates, totals and sweeps read from it, and the images behind it."""
