// The calls of the suites on Thrift. Methods, types and field ids of `ThriftTest` and
// `SecondService` are those that Apache's libraries use to test one another, so that every type of
// the protocol is sent and received; `Probe` adds what is needed to look at a router. Python and
// Node code is generated from this at test time and never kept; thriftpy2 loads it as it is.

namespace py calls

enum Digit {
  ONE = 1,
  TWO,
  THREE,
  FIVE = 5,
  SIX,
  EIGHT = 8
}

typedef i64 UserId

// Ids with gaps: a compact field header is a difference, or an id of its own if that is too big.
struct Thing {
  1: string string_thing,
  4: i8 byte_thing,
  9: i32 i32_thing,
  11: i64 i64_thing
}

struct Nest {
  1: i8 byte_thing,
  2: Thing struct_thing,
  3: i32 i32_thing
}

struct Insanity {
  1: map<Digit, UserId> users,
  2: list<Thing> things
}

// What the calls of `ThriftTest` do not send.
struct Rest {
  1: bool yes,
  2: bool no,
  3: i16 short,
  20: list<bool> answers,
  21: set<string> words,
  22: map<string, list<set<i32>>> deep,
  23: list<double> numbers,
  24: list<Nest> nests,
  25: map<i64, binary> blobs,
  300: list<map<i8, i8>> empty,
  32767: i32 last
}

exception Plain {
  1: i32 code,
  2: string words
}

exception Rich {
  1: i32 code,
  2: Thing thing
}

service ThriftTest {
  void testVoid(),
  string testString(1: string thing),
  bool testBool(1: bool thing),
  i8 testByte(1: i8 thing),
  i32 testI32(1: i32 thing),
  i64 testI64(1: i64 thing),
  double testDouble(1: double thing),
  binary testBinary(1: binary thing),
  Thing testStruct(1: Thing thing),
  Nest testNest(1: Nest thing),
  map<i32, i32> testMap(1: map<i32, i32> thing),
  map<string, string> testStringMap(1: map<string, string> thing),
  set<i32> testSet(1: set<i32> thing),
  list<i32> testList(1: list<i32> thing),
  Digit testEnum(1: Digit thing),
  UserId testTypedef(1: UserId thing),
  // For each of two numbers a map of numbers to themselves.
  map<i32, map<i32, i32>> testMapMap(1: i32 hello),
  map<UserId, map<Digit, Insanity>> testInsanity(1: Insanity argument),
  Thing testMulti(
    1: i8 first, 2: i32 second, 3: i64 third,
    4: map<i16, string> fourth, 5: Digit fifth, 6: UserId sixth),
  // "Xception": declared; "TException": one that is not declared; else none.
  void testException(1: string which) throws (1: Plain plain),
  // "Xception" and "Xception2": the two declared ones; else `text` comes back.
  Thing testMultiException(1: string which, 2: string text) throws (1: Plain plain, 2: Rich rich),
  oneway void testOneway(1: i32 number)
}

service SecondService {
  string secondtestString(1: string thing)
}

service Probe extends ThriftTest {
  Rest rest(1: Rest thing),
  // The name of the server.
  string who(),
  // The info headers that came with the call; as many go back, and one with the server's name.
  map<string, string> headers(),
  // How many times `testOneway` was called with this number.
  i32 heard(1: i32 number),
  // Answers its text after so many milliseconds.
  string wait(1: string text, 2: i32 milliseconds),
  // The server ends instead of answering.
  string die()
}
