"""From the address of a bus to the bus that workers of a store share."""

from __future__ import annotations

from parlour.engine.bus import Bus
from parlour.errors import BadSettings
from parlour.stores.address import is_shared


def bus_for(store: str, address: str = "") -> Bus | None:
    """The bus at `address`; without one that of the store's own server, if it is a shared one.

    Raises `BadSettings` for an address of another form, and for a bus where nobody shares.
    """
    if not is_shared(store):
        if address:
            raise BadSettings(
                "a bus is for workers that share a store; give --store postgresql://host/database, "
                "or no --bus"
            )
        return None
    address = address or store
    if is_shared(address):
        from parlour.engine.bus_postgres import PostgresBus

        return PostgresBus(address)
    if address.partition("://")[0] in {"redis", "rediss", "unix"}:
        from parlour.engine.bus_redis import RedisBus

        return RedisBus(address)
    raise BadSettings(
        "that is no address of a bus; write redis://host:port or postgresql://host/database"
    )
