"""A package, so that these files may share their names with the tests of other rooms."""
