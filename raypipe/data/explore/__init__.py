"""A data version as one page of HTML that opens from a disk."""
