"""Who acts: hub, renter, lessor, and what they need to act."""
