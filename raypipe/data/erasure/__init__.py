"""Erasing the rows of people: from all that a pipeline keeps, and at the door from then on."""
