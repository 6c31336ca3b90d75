"""Pictures for people: one module for each product, none of them decides anything."""
