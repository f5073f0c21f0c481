"""What is known only at run time: the device, its random numbers, the processes."""
