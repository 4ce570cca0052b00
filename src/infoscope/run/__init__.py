"""Keys, the store of finished units, and their execution: the room that knows only callables and bytes."""

from infoscope.run.call_pickle import NotPortable
from infoscope.run.execute import Engine, Work, execute
from infoscope.run.key import key
from infoscope.run.pool import Pool, PoolBroken, WorkerDied
from infoscope.run.store import Store

__all__ = ["Engine", "NotPortable", "Pool", "PoolBroken", "Store", "Work", "WorkerDied", "execute", "key"]
