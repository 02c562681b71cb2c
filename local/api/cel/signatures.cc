// local/api/cel/signatures.cc: the functions and operators that expressions may use, with their types
#include <map>
#include <sstream>

#include "local/api/cel/checker.h"

namespace muster::local::cel {
namespace {

// A function, then its overloads: "." in front of a method, argument types by commas (a method's target
// first),
// ":" and the result. Types: list<T>, map<K,V>; capital letters are parameters.
// Source: the CEL language definition. Of the libraries that Kubernetes 1.33 adds for validation rules none
// is here.
constexpr const char* kSignatures = R"(
!_ bool:bool
-_ int:int double:double
_&&_ bool,bool:bool
_||_ bool,bool:bool
_?_:_ bool,A,A:A
_==_ A,A:bool
_!=_ A,A:bool
_<_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool
_<=_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool
_>_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool
_>=_ bool,bool:bool int,int:bool int,double:bool int,uint:bool uint,uint:bool uint,double:bool uint,int:bool double,double:bool double,int:bool double,uint:bool string,string:bool bytes,bytes:bool
_+_ int,int:int uint,uint:uint double,double:double string,string:string bytes,bytes:bytes list<A>,list<A>:list<A>
_-_ int,int:int uint,uint:uint double,double:double
_*_ int,int:int uint,uint:uint double,double:double
_/_ int,int:int uint,uint:uint double,double:double
_%_ int,int:int uint,uint:uint
_in_ A,list<A>:bool A,map<A,B>:bool
size string:int bytes:int list<A>:int map<A,B>:int .string:int .bytes:int .list<A>:int .map<A,B>:int
type A:type
dyn A:dyn
bool bool:bool string:bool
int int:int uint:int double:int string:int
uint uint:uint int:uint double:uint string:uint
double double:double int:double uint:double string:double
string string:string bool:string int:string uint:string double:string
contains .string,string:bool
startsWith .string,string:bool
endsWith .string,string:bool
matches .string,string:bool string,string:bool
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
