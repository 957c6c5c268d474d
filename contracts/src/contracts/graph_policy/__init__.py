"""Which node classes and input values are safe in a multi-tenant fleet: reviewed stock classes and input roles."""
