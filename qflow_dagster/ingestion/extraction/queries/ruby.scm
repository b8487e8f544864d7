(method) @def.function
(singleton_method) @def.function
(assignment left: [(identifier) (constant) (instance_variable)] right: (lambda)) @def.function
(call method: (identifier) @_define arguments: (argument_list . [(simple_symbol) (string)]) block: (_)
  (#eq? @_define "define_method")) @def.function
(class) @def.class
(assignment left: (constant) right: (call receiver: (constant) @_type method: (identifier) @_new)
  (#match? @_type "^(Class|Module|Struct|Data)$") (#match? @_new "^(new|define)$")) @def.class
(module) @def.module
(call method: (identifier) @call)
(call method: (constant) @call)
(call method: (identifier) @_method arguments: (argument_list . (string))
  (#match? @_method "^(require|require_relative|load)$")) @import.require
(comment) @comment
(uninterpreted) @data
(binary) @binary
