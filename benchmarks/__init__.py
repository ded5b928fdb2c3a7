"""What the helpers cost, beside plain asyncio and beside their peers: see README.md."""
