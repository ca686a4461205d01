import time

from tests.service.bench import *
from tests.simulated import simulated, until


@simulated
async def test_a(tmp_path):
    t=time.time()
    async with bench(tmp_path, speaks=True) as b:
        print("ready", time.time()-t)
        p = await b.start().answered()
        print(p.data, b.clock.monotonic(), time.time()-t)
        print([ (s.at, s.command) for s in b.printer.sent])
        await until(lambda: b.printer.state=="FINISH", 1000)
        await b.until_clean()
        print(b.clock.monotonic(), time.time()-t, len(b.said), b.files)
        print([e["event"] for e in b.events()])
        n=time.time(); m=b.clock.monotonic()
        await pass_time(300)
        print("300 s idle", time.time()-n)
