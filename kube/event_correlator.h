#pragma once  // kube/event_correlator.h: which events about our objects are written, and how, as a machine
              // without I/O
#include <list>
#include <map>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/json/fields.h"

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

// The same event again raises its count; more than 10 alike but for their message
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

}  // namespace muster::kube
