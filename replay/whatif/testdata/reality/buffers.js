// A worker works on JSON, the main thread hashes buffers. buffers.js ITEMS USES
const { Worker, isMainThread, workerData } = require('worker_threads');
const crypto = require('crypto');
if (isMainThread) {
  const [items, uses] = process.argv.slice(2).map(Number);
  const flag = new Int32Array(new SharedArrayBuffer(4));
  for (let i = 0; i < 1; i++) new Worker(__filename, { workerData: flag });
  setTimeout(() => {
    let b;
    for (let i = 0; i < items; i++) {
      if (i % uses === 0) b = Buffer.alloc(400000);
      b[0] = 1;
      crypto.createHash('md5').update(b.subarray(0, 30000)).digest();
    }
    Atomics.store(flag, 0, 1);
  }, 50);
} else {
  while (!Atomics.load(workerData, 0)) {
    const o = {}; for (let i = 0; i < 300; i++) o['k' + i] = Array(50).fill(i);
    JSON.stringify(JSON.parse(JSON.stringify(o)));
    for (let i = 0; i < 40; i++) Buffer.alloc(20000);
  }
}
