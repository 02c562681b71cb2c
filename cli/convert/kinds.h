#pragma once  // cli/convert/kinds.h: the kinds that become a DistributedJob
#include "cli/convert/conversion.h"

namespace muster::cli {

// Each fills in metadata and spec of the output. What cannot be converted at all is an error of finish().

// kubeflow.org/v1. Master and Worker become ranks of one pool, the master first.
void convert_pytorch_job(Conversion& conversion);

// trainer.kubeflow.org/v1alpha1. The runtime that it names stands under "runtime" of the source if it is
// known. Returns what a person has to fill in before the job can run; "" if nothing.
[[nodiscard]] std::string convert_train_job(Conversion& conversion);

// kubeflow.org/v2beta1. Worker 0 starts mpirun, the others serve sshd. Returns as above.
[[nodiscard]] std::string convert_mpi_job(Conversion& conversion);

}  // namespace muster::cli
