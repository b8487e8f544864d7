(method_declaration) @def.method
(constructor_declaration) @def.method
(compact_constructor_declaration) @def.method
(annotation_type_element_declaration) @def.method
(static_initializer) @def.method
(class_body (block) @def.method)
(variable_declarator name: (identifier) value: (lambda_expression)) @def.function
(class_declaration) @def.class
(record_declaration) @def.class
(interface_declaration) @def.interface
(annotation_type_declaration) @def.interface
(enum_declaration) @def.enum
(method_invocation name: (identifier) @call)
(object_creation_expression type: (type_identifier) @call)
(object_creation_expression type: (generic_type (type_identifier) @call))
(object_creation_expression type: (scoped_type_identifier (type_identifier) @call .))
(import_declaration) @import.import
(package_declaration [(scoped_identifier) (identifier)] @namespace)
(line_comment) @comment
(block_comment) @comment
(binary_expression) @binary
