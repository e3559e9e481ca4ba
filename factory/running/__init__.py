"""The run: pools of workers on Ray, and the driver that commits what they make."""
