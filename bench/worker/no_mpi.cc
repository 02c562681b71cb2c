// bench/worker/no_mpi.cc: where no MPI is installed
#include "bench/worker/contender.h"

namespace muster::bench {

Contenders make_mpi() { return {}; }

}  // namespace muster::bench
