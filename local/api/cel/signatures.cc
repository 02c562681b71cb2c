// local/api/cel/signatures.cc: the functions and operators that expressions may use, with their types
#include <map>
#include <sstream>

#include "local/api/cel/checker.h"

namespace muster::local::cel {
namespace {

// A function, then its overloads: "." in front of a method, argument types by commas (a method's target
// first),
// ":" and the result. Types: list<T>, map<K,V>, optional<T>; capital letters are parameters.
// Source: the CEL language definition, and the libraries that Kubernetes 1.33 adds for validation rules.
constexpr const char* kSignatures = R"(
!_ bool:bool
-_ int:int double:double
_&&_ bool,bool:bool
_||_ bool,bool:bool
_?_:_ bool,A,A:A
_==_ A,A:bool
_!=_ A,A:bool
_<_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool timestamp,timestamp:bool duration,duration:bool
_<=_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool timestamp,timestamp:bool duration,duration:bool
_>_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool timestamp,timestamp:bool duration,duration:bool
_>=_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool timestamp,timestamp:bool duration,duration:bool
_+_ int,int:int uint,uint:uint double,double:double string,string:string bytes,bytes:bytes list<A>,list<A>:list<A> timestamp,duration:timestamp duration,timestamp:timestamp duration,duration:duration
_-_ int,int:int uint,uint:uint double,double:double timestamp,timestamp:duration timestamp,duration:timestamp duration,duration:duration
_*_ int,int:int uint,uint:uint double,double:double
_/_ int,int:int uint,uint:uint double,double:double
_%_ int,int:int uint,uint:uint
_in_ A,list<A>:bool A,map<A,B>:bool
size string:int bytes:int list<A>:int map<A,B>:int .string:int .bytes:int .list<A>:int .map<A,B>:int
type A:type
dyn A:dyn
bool bool:bool string:bool
int int:int uint:int double:int string:int timestamp:int
uint uint:uint int:uint double:uint string:uint
double double:double int:double uint:double string:double
string string:string bool:string int:string uint:string double:string bytes:string timestamp:string duration:string IP:string CIDR:string
bytes bytes:bytes string:bytes
duration duration:duration string:duration
timestamp timestamp:timestamp string:timestamp int:timestamp
getFullYear .timestamp:int .timestamp,string:int
getMonth .timestamp:int .timestamp,string:int
getDate .timestamp:int .timestamp,string:int
getDayOfMonth .timestamp:int .timestamp,string:int
getDayOfWeek .timestamp:int .timestamp,string:int
getDayOfYear .timestamp:int .timestamp,string:int
getHours .timestamp:int .timestamp,string:int .duration:int
getMinutes .timestamp:int .timestamp,string:int .duration:int
getSeconds .timestamp:int .timestamp,string:int .duration:int
getMilliseconds .timestamp:int .timestamp,string:int .duration:int
contains .string,string:bool
startsWith .string,string:bool
endsWith .string,string:bool
matches .string,string:bool string,string:bool
charAt .string,int:string
indexOf .string,string:int .string,string,int:int .list<A>,A:int
lastIndexOf .string,string:int .string,string,int:int .list<A>,A:int
join .list<string>:string .list<string>,string:string
lowerAscii .string:string
upperAscii .string:string
replace .string,string,string:string .string,string,string,int:string
split .string,string:list<string> .string,string,int:list<string>
substring .string,int:string .string,int,int:string
trim .string:string
format .string,list<dyn>:string
strings.quote string:string
find .string,string:string
findAll .string,string:list<string> .string,string,int:list<string>
isSorted .list<int>:bool .list<double>:bool .list<bool>:bool .list<string>:bool .list<timestamp>:bool .list<duration>:bool .list<uint>:bool .list<bytes>:bool
sum .list<int>:int .list<uint>:uint .list<double>:double .list<duration>:duration
min .list<int>:int .list<double>:double .list<bool>:bool .list<string>:string .list<timestamp>:timestamp .list<duration>:duration .list<uint>:uint .list<bytes>:bytes
max .list<int>:int .list<double>:double .list<bool>:bool .list<string>:string .list<timestamp>:timestamp .list<duration>:duration .list<uint>:uint .list<bytes>:bytes
sets.contains list<A>,list<A>:bool
sets.equivalent list<A>,list<A>:bool
sets.intersects list<A>,list<A>:bool
optional.of A:optional<A>
optional.ofNonZeroValue A:optional<A>
optional.none :optional<A>
hasValue .optional<A>:bool
value .optional<A>:A
orValue .optional<A>,A:A
or .optional<A>,optional<A>:optional<A>
url string:URL
isURL string:bool
getScheme .URL:string
getHost .URL:string
getHostname .URL:string
getPort .URL:string
getEscapedPath .URL:string
getQuery .URL:map<string,list<string>>
quantity string:Quantity
isQuantity string:bool
sign .Quantity:int
isInteger .Quantity:bool
asInteger .Quantity:int
asApproximateFloat .Quantity:double
isGreaterThan .Quantity,Quantity:bool
isLessThan .Quantity,Quantity:bool
compareTo .Quantity,Quantity:int
add .Quantity,Quantity:Quantity .Quantity,int:Quantity
sub .Quantity,Quantity:Quantity .Quantity,int:Quantity
ip string:IP .CIDR:IP
isIP string:bool
ip.isCanonical string:bool
family .IP:int
isUnspecified .IP:bool
isLoopback .IP:bool
isLinkLocalMulticast .IP:bool
isLinkLocalUnicast .IP:bool
isGlobalUnicast .IP:bool
cidr string:CIDR
isCIDR string:bool
containsIP .CIDR,string:bool .CIDR,IP:bool
containsCIDR .CIDR,string:bool .CIDR,CIDR:bool
prefixLength .CIDR:int
masked .CIDR:CIDR
format.named string:optional<Format>
format.dns1123Label :Format
format.dns1123Subdomain :Format
format.dns1035Label :Format
format.qualifiedName :Format
format.dns1123LabelPrefix :Format
format.dns1123SubdomainPrefix :Format
format.dns1035LabelPrefix :Format
format.labelValue :Format
format.uri :Format
format.uuid :Format
format.byte :Format
format.date :Format
format.datetime :Format
validate .Format,string:optional<list<string>>
)";

class SignatureReader {
 public:
  explicit SignatureReader(const std::string& text) : text_(text) {}

  Overload read() {
    Overload overload;
    if (text_[at_] == '.') {
      overload.method = true;
      ++at_;
    }
    while (text_[at_] != ':') {
      overload.arguments.push_back(type());
      if (text_[at_] == ',') ++at_;
    }
    ++at_;
    overload.result = type();
    return overload;
  }

 private:
  TypePtr type() {
    auto made = std::make_shared<Type>();
    while (at_ < text_.size() && std::string_view(",:<>").find(text_[at_]) == std::string_view::npos)
      made->name += text_[at_++];
    if (at_ < text_.size() && text_[at_] == '<') {
      do {
        ++at_;
        made->of.push_back(type());
      } while (text_[at_] == ',');
      ++at_;
    }
    return made;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

const std::vector<Overload>* overloads_of(const std::string& function) {
  static const auto kAll = [] {
    std::map<std::string, std::vector<Overload>> all;
    std::istringstream lines(kSignatures);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string name;
      if (!(words >> name)) continue;
      for (std::string word; words >> word;) all[name].push_back(SignatureReader(word).read());
    }
    return all;
  }();
  const auto it = kAll.find(function);
  return it == kAll.end() ? nullptr : &it->second;
}

}  // namespace muster::local::cel
