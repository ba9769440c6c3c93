"""Tables for people and machines, from what was queried; a renderer never queries."""
