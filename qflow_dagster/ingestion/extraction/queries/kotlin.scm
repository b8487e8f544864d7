(function_declaration) @def.function
(secondary_constructor) @def.function
(getter (function_body)) @def.method
(setter (function_body)) @def.method
(anonymous_initializer) @def.function
(property_declaration (variable_declaration) [(lambda_literal) (anonymous_function)]) @def.function
(class_declaration "class") @def.class
(class_declaration "interface") @def.interface
(object_declaration) @def.object
(type_alias) @def.type
(call_expression (simple_identifier) @call)
(call_expression (navigation_expression (navigation_suffix (simple_identifier) @call)))
(import_header) @import.import
(package_header (identifier) @namespace)
(source_file (property_declaration (variable_declaration (simple_identifier) @constant)))
(line_comment) @comment
(multiline_comment) @comment
[(conjunction_expression) (disjunction_expression)] @binary
