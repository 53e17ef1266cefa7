const { Worker, isMainThread, workerData } = require('worker_threads');
const ms = Number(process.argv[2] || workerData);
function work(){ const end = Date.now()+ms; let s=0; while(Date.now()<end){ const o={}; for(let i=0;i<300;i++) o['k'+i]=Array(50).fill(i); s+=JSON.stringify(JSON.parse(JSON.stringify(o))).length; Buffer.alloc(200000).toString('hex'); } return s; }
if(isMainThread){ for(let i=0;i<2;i++) new Worker(__filename,{workerData:ms}); work(); } else work();
