"""What moves the bytes: one file a carrier (spec/carriers/)."""
