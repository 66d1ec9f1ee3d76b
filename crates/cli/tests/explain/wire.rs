//! Thrift and Dubbo: captured calls.

use crate::captured;

const FILE: &str = r#"listeners:
  - name: calc
    listen: 127.0.0.1:7100
    codec: thrift
    filters: [ authorize: { deny: [ { service: Calc, method: { prefix: dr } } ] } ]
    routes:
      - { name: big, match: { method: add, arg.1: { range: [ 100, 999 ] } }, to: calcs }
      - { name: calc, match: { service: Calc }, to: calcs, hash_on: arg.2 }
  - name: stock
    listen: 127.0.0.1:7200
    codec: dubbo
    filters: [ limit_rate: { per: header.user, rate: 5/s } ]
    routes:
      - { name: all, match: { service: shop.Stock, arg.0: "7" }, to: { calcs: 1, spare: 0 }, hash_on: header.user }
clusters:
  - { name: calcs, endpoints: [ 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1 ], balance: maglev }
  - { name: spare, endpoints: [ 10.0.0.9:1 ] }
"#;

#[test]
fn thrift_calls_with_arguments() {
    captured(FILE, &["-l", "calc"], b"\x00\x00\x00%\x80\x01\x00\x01\x00\x00\x00\x08Calc:add\x00\x00\x00\x07\x08\x00\x01\x00\x00\x00\x05\x0b\x00\x02\x00\x00\x00\x02hi\x00\x00\x00\x00%\x80\x01\x00\x01\x00\x00\x00\x08Calc:dro\x00\x00\x00\x07\x08\x00\x01\x00\x00\x00\x05\x0b\x00\x02\x00\x00\x00\x02hi\x00", 1, r#"
listener  calc (thrift, 127.0.0.1:7100)

frame     1 at byte 0: request, 41 bytes, id 7
request   service  "Calc"
          method   "add"
          arg.1    "5"
          arg.2    "hi"
routes    big   no   arg.1 is "5", wanted 100 to 999
          calc  yes  service is "Calc"
filters   authorize  passes
            deny[0] does not match: method is "add"
            there are no allow rules, so the request is allowed
cluster   calcs
endpoint  10.0.0.2:1, always for arg.2 "hi" (maglev)
result    sent to 10.0.0.2:1

frame     2 at byte 41: request, 41 bytes, id 7
request   service  "Calc"
          method   "dro"
          arg.2    "hi"
routes    big   no   method is "dro", wanted "add"
          calc  yes  service is "Calc"
filters   authorize  refuses: denied
            deny[0] matches: service is "Calc"
            so the request is refused
cluster   calcs
result    refused, denied (filter): denied by rule deny[0] of authorize
answer    \x00\x00\x00A\x80\x01\x00\x03\x00\x00\x00\x03dro\x00\x00\x00\x07\x0b\x00\x01\x00\x00\x00#denied by rule deny[0] of authorize\x08\x00\x02\x00\x00\x00\x06\x00
"#);
}

#[test]
fn a_thrift_call_without_its_end_and_one_that_is_none() {
    captured(FILE, &["-l", "calc"], b"\x00\x00\x00%\x80\x01\x00\x01\x00\x00\x00\x08Calc:add\x00\x00\x00\x07\x08\x00\x01\x00\x00\x00\x05\x0b\x00\x02\x00\x00\x00\x02hi\x00\x00\x00\x00%\x80\x01\x00\x01\x00\x00\x00\x08Calc:add\x00\x00\x00\x07\x08\x00\x01\x00\x00\x00\x05\x0b\x00\x02\x00\x00\x00\x02", 2, r#"
listener  calc (thrift, 127.0.0.1:7100)

frame     1 at byte 0: request, 41 bytes, id 7
request   service  "Calc"
          method   "add"
          arg.1    "5"
          arg.2    "hi"
routes    big   no   arg.1 is "5", wanted 100 to 999
          calc  yes  service is "Calc"
filters   authorize  passes
            deny[0] does not match: method is "add"
            there are no allow rules, so the request is allowed
cluster   calcs
endpoint  10.0.0.2:1, always for arg.2 "hi" (maglev)
result    sent to 10.0.0.2:1

frame     2 at byte 41: request, 41 bytes, id 7
result    cut off: 38 bytes of 41 or more
"#);
    captured(FILE, &["-l", "calc"], b"\x00\x00\x00%\x80\x01\x00\x01\x00\x00\x00\x08Calc:add\x00\x00\x00\x07\x08\x00\x01\x00\x00\x00\x05\x0b\x00\x02\x00\x00\x00\x02hi\x00GET / HTTP/1.1\r\n\r\n", 1, r#"
listener  calc (thrift, 127.0.0.1:7100)

frame     1 at byte 0: request, 41 bytes, id 7
request   service  "Calc"
          method   "add"
          arg.1    "5"
          arg.2    "hi"
routes    big   no   arg.1 is "5", wanted 100 to 999
          calc  yes  service is "Calc"
filters   authorize  passes
            deny[0] does not match: method is "add"
            there are no allow rules, so the request is allowed
cluster   calcs
endpoint  10.0.0.2:1, always for arg.2 "hi" (maglev)
result    sent to 10.0.0.2:1

frame     2 at byte 41
result    refused, too_large (frame_size): the Thrift message is too long; the connection is closed
answer    \x00\x00\x009\x80\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x0b\x00\x01\x00\x00\x00\x1ethe Thrift message is too long\x08\x00\x02\x00\x00\x00\x07\x00
"#);
}

#[test]
fn dubbo_calls_with_attachments() {
    captured(FILE, &["-l", "stock"], b"\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x009\x052.0.2\nshop.Stock\x031.0\x05count\x01I\x97H\x04path\nshop.Stock\x04user\x03annZ\xda\xbb\xe2\x00\x00\x00\x00\x00\x00\x00\x00\n\x00\x00\x00\x01N", 0, r#"
listener  stock (dubbo, 127.0.0.1:7200)

frame     1 at byte 0: request, 73 bytes, id 9
request   service      "shop.Stock"
          method       "count"
          arg.0        "7"
          header.user  "ann"
routes    all  yes  service is "shop.Stock"
                    arg.0 is "7"
filters   limit_rate  passes
            limited to 5/s, burst 5 for header.user "ann"
cluster   calcs, always for header.user "ann"
endpoint  10.0.0.2:1, always for header.user "ann" (maglev)
result    sent to 10.0.0.2:1

frame     2 at byte 73: ping, 17 bytes, id 10
result    a heartbeat, answered by the codec
answer    \xda\xbb\"\x14\x00\x00\x00\x00\x00\x00\x00\n\x00\x00\x00\x01N
"#);
}

#[test]
fn a_dubbo_call_without_its_end_and_one_that_is_none() {
    captured(FILE, &["-l", "stock"], b"\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x009\x052.0.2\nshop.Stock\x031.0\x05count\x01I\x97H\x04path\nshop.Stock\x04user\x03ann", 2, r#"
listener  stock (dubbo, 127.0.0.1:7200)

frame     1 at byte 0
result    cut off: 72 bytes of 73 or more
"#);
    captured(FILE, &["-l", "stock"], b"\xda\xbb\xc2\x00\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x009\x052.0.2\nshop.Stock\x031.0\x05count\x01I\x97H\x04path\nshop.Stock\x04user\x03annZGET / HTTP/1.1\r\n\r\n", 1, r#"
listener  stock (dubbo, 127.0.0.1:7200)

frame     1 at byte 0: request, 73 bytes, id 9
request   service      "shop.Stock"
          method       "count"
          arg.0        "7"
          header.user  "ann"
routes    all  yes  service is "shop.Stock"
                    arg.0 is "7"
filters   limit_rate  passes
            limited to 5/s, burst 5 for header.user "ann"
cluster   calcs, always for header.user "ann"
endpoint  10.0.0.2:1, always for header.user "ann" (maglev)
result    sent to 10.0.0.2:1

frame     2 at byte 73
result    refused, bad_request (malformed): not Dubbo; the connection is closed
answer    \xda\xbb\x02(\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\n\tnot Dubbo
"#);
}
