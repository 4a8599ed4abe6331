"""Where to look: points of the unit cube, and trials from them. No ray here."""
