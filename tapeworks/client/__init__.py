"""The Python client: what the command line does with runs, as functions.

import tapeworks

client = tapeworks.connect()
run = client.submit(tapeworks.RunConfig(iterations=20), name="from Python")
run.wait()
run.history().plot(x="iteration", y="loss")
"""

from tapeworks.client.connecting import connect as connect
from tapeworks.client.direct import Client as Client
from tapeworks.client.runs import Run as Run
