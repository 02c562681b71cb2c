#pragma once  // cli/convert/run_policy.h: spec.runPolicy and its kin of Kubeflow's v1 kinds, and the metadata
#include <string>

#include "cli/convert/conversion.h"

namespace muster::cli {

// Name, labels, annotations, what a server wrote. `kind`: as DistributedJob's comments name the source.
void convert_metadata(Conversion& conversion);

// For what is named after the job; of one whose name the server makes, what that begins with.
[[nodiscard]] std::string name_of_job(Conversion& conversion);

// spec.runPolicy of PyTorchJob and MPIJob. `us`: the value of managedBy that means their own operator.
void convert_run_policy(Conversion& conversion, const std::string& us);

// Kueue suspends the jobs that it queues; a DistributedJob of its queue waits by itself.
void convert_suspend(Conversion& conversion, const std::string& from);

void convert_managed_by(Conversion& conversion, const std::string& from, const std::string& us);

// scheduling.gang, as it is when absent, too: the workers are placed together by whoever can.
void ask_for_gang(Conversion& conversion);

// restartPolicy of the replicas at `from`, after the run policy: Never means that no restart is allowed,
// ExitCode becomes rules. `usual` is the other operator's default.
void convert_restart_policy(Conversion& conversion, const std::string& from, const std::string& usual);

}  // namespace muster::cli
