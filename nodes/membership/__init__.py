"""How an organisation's node comes by its files: keys made here, requests and welcomes that travel. Files only."""
