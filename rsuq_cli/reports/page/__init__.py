"""The page: one file that shows runs to somebody who has no rsuq."""
