"""What we learned: tables of records in, frozen data out."""
