#pragma once  // kube/events.h: Kubernetes events about our objects: aggregated, rate limited, written in the
              // background
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <thread>

#include "common/platform/mutex.h"
#include "kube/client.h"

namespace muster::kube {

struct EventRecord {
  Json regarding;       // involvedObject: kind, apiVersion, namespace, name, uid
  std::string type;     // "Normal" or "Warning"
  std::string reason;   // CamelCase
  std::string message;  // cut at 1024 bytes, between characters
};

// What to write for a record: a new event, or a patch which raises the count of one written before.
struct EventWrite {
  std::string ns;
  std::string name;
  Json event;                 // the whole of it, as it is to be
  std::optional<Json> patch;  // absent: create `event`; else merge this, and create it if it is not there
};

// Decides, without I/O: the same event again raises its count; more than 10 alike but for their message
// within 10 minutes become one; past a burst of 25 an object may write one event in 5 minutes. Remembers the
// last 4096.
class EventCorrelator {
 public:
  explicit EventCorrelator(std::string component) : component_(std::move(component)) {}
  [[nodiscard]] std::optional<EventWrite> correlate(EventRecord record, Instant now, WallTime wall);

 private:
  struct Bucket {
    double tokens = 0;
    Instant at;
  };
  struct Alike {
    int count = 0;
    Instant since;
  };
  struct Written {
    std::string name;
    int count = 0;
    std::string first;
  };
  template <typename T>
  class Recent {  // a map which forgets what was not used for longest
   public:
    T& operator[](const std::string& key);

   private:
    std::list<std::pair<std::string, T>> order_;
    std::map<std::string, typename std::list<std::pair<std::string, T>>::iterator> where_;
  };
  std::string component_;
  Recent<Bucket> buckets_;
  Recent<Alike> alike_;
  Recent<Written> written_;
};

class EventRecorder {
 public:
  // `on_refused` hears once, from the recorder's thread, that the API server lets it write no event.
  EventRecorder(Client& client, std::string component, std::function<void(const Error&)> on_refused = {});
  ~EventRecorder();  // writes what is queued, within 2 s

  // Never blocks; drops the record when 1000 are waiting. Failures to write are dropped too (a namespace is
  // going away), but for an event that is to be raised and is gone (they live an hour, or creating it
  // failed): it is created anew.
  void record(EventRecord record) MUSTER_EXCLUDES(mutex_);

 private:
  void run(const std::stop_token& stop);
  void write(EventRecord record);
  void failed(const Error& error);

  Client& client_;
  std::function<void(const Error&)> on_refused_;  // of the thread
  EventCorrelator correlator_;                    // of the thread
  Mutex mutex_;
  Condition wake_;
  std::deque<EventRecord> queue_ MUSTER_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace muster::kube
