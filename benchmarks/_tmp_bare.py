import sys
sys.path.insert(0,"/work/main/benchmarks")
from pathlib import Path
import predict_servers as ps, numpy as np
mode=sys.argv[1]
import feedback.predictions as fp
if "null" in mode: fp.PredictionLog.record=lambda self,*a: None
if "stub" in mode:
    import networks.predictor as np_
    np_.Predictor.predict=lambda self,rows,task: (["1"],np.ones(1),None)
if "direct" in mode:
    import service.route as r
    async def nosleep(*a): pass
    r.asyncio=type("A",(),{"sleep":staticmethod(nosleep)})
ps.bare(int(sys.argv[2]), Path(sys.argv[3]))
