"""The aircraft of New York in 2013: departures by the hour, the fleet's last whereabouts, the makers."""
