# One thread hashes buffers, another has an index in SQLite. buffers.py ITEMS USES: a buffer serves so many items.
import hashlib, sqlite3, sys, threading
items, uses = int(sys.argv[1]), int(sys.argv[2])
done = False
def index():
    db = sqlite3.connect(":memory:", check_same_thread=False)
    db.execute("create table t(a integer, b text)")
    db.executemany("insert into t values(?, ?)", ((i, "%040d" % (i * 7919 % 100_003)) for i in range(2000)))
    while not done:
        db.execute("select count(*), max(x) from (select upper(b)||a x from t order by substr(b, 30))").fetchall()
t = threading.Thread(target=index)
t.start()
for i in range(items):
    if i % uses == 0:
        buf = None
        buf = bytearray(200_000)
    hashlib.md5(memoryview(buf)[:100_000]).digest()
done = True
t.join()
