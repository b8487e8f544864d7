(function_declaration) @def.function
(method_declaration) @def.method
(method_elem) @def.method
(var_spec . name: (identifier) value: (expression_list . (func_literal) .)) @def.function
(short_var_declaration left: (expression_list . (identifier) .)
  right: (expression_list . (func_literal) .)) @def.function
(assignment_statement left: (expression_list . (_) .) right: (expression_list . (func_literal) .)) @def.function
(keyed_element key: (literal_element (identifier)) value: (literal_element (func_literal))) @def.function
(type_spec type: (struct_type)) @def.struct
(type_spec type: (interface_type)) @def.interface
(type_spec type: [(type_identifier) (qualified_type) (generic_type) (pointer_type) (array_type) (slice_type) (map_type)
  (channel_type) (function_type) (parenthesized_type)]) @def.type
(type_alias) @def.type
(call_expression function: (identifier) @call)
(call_expression function: (selector_expression field: (field_identifier) @call))
(import_spec) @import.import
(comment) @comment
(binary_expression) @binary
