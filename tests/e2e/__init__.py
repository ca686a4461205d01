"""The service as a process, between a real broker in the place of Printago's and virtual printers."""
