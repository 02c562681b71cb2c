#pragma once  // operator/core/followers.h: to whose Agents the operator listens
#include "operator/core/pass.h"

namespace muster::op {

// Of the live pods, those of whom something is to be learnt: a stream costs 200 KiB. Rank 0, or the
// aggregator, has the figures of the object; a second member, on another node if there is one, tells when
// rank 0 is lost. Another worker is listened to until all have their assignment, when one of the two has lost
// a peer or does not answer any more, and while it is no member; pods of an older incarnation are not.
// `all`: of each something may come that nobody else tells, as how a command has ended.
void follow_agents(Pass& pass, bool all);

// Of a pod whose Agent has answered: it has not for 15 s. The operator may be cut off from it, so that alone
// it says nothing of its work. The pass is made again when it becomes true.
[[nodiscard]] bool has_gone_silent(Pass& pass, const Pod& pod);
// And its node is out of reach for the cluster, too; looked at every 5 s while it is silent.
[[nodiscard]] bool has_gone_silent_with_node(Pass& pass, const Pod& pod);

// Whether each Agent that is listened to has told something (`of_this_membership`: that it has its
// assignment). After a takeover none has, and what is not known is not over.
[[nodiscard]] bool all_have_told(const Pass& pass, bool of_this_membership);

}  // namespace muster::op
