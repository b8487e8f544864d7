(function_declaration) @def.function
(generator_function_declaration) @def.function
(method_definition) @def.function
(variable_declarator value: [(arrow_function) (function_expression) (generator_function)
  (parenthesized_expression [(arrow_function) (function_expression) (generator_function)])]) @def.function
(assignment_expression left: (_) right: [(arrow_function) (function_expression) (generator_function)
  (parenthesized_expression [(arrow_function) (function_expression) (generator_function)])]) @def.function
(pair value: [(arrow_function) (function_expression) (generator_function)
  (parenthesized_expression [(arrow_function) (function_expression) (generator_function)])]) @def.function
(export_statement value: [(arrow_function) (function_expression) (generator_function)]) @def.function
(function_expression name: (_)) @def.function
(generator_function name: (_)) @def.function
(class_static_block) @def.function
(class_declaration) @def.class
(class) @def.class
(call_expression function: (identifier) @call)
(call_expression function: (member_expression property: (property_identifier) @call))
(new_expression constructor: (identifier) @call)
(new_expression constructor: (member_expression property: (property_identifier) @call))
(import_statement) @import.import
(export_statement source: (string)) @import.export
(call_expression function: (identifier) @_function arguments: (arguments . (string))
  (#eq? @_function "require")) @import.require
(call_expression function: (import) arguments: (arguments . (string))) @import.import
(comment) @comment
(binary_expression) @binary
